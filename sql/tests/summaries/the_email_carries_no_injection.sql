-- SUM-01: what people write stands in the e-mail as text, in every field; and who has no plain address gets none.
begin;

select plan(29);

select tests.stop_clock();
select tests.nobody_falls_silent();

create function pg_temp.email(p_customer text) returns jsonb
language sql
as $$
  select o.payload from private.outbox as o
  where o.topic = 'email' and o.session_id = tests.session_of(p_customer)
$$;

-- The whole e-mail about a session with these words, without its site.
create function pg_temp.about(p_customer text, p_findings text, p_steps text, p_next text, p_parts text) returns jsonb
language plpgsql
as $$
begin
  perform tests.session_in('completed', p_customer, 'mechanic ' || p_customer);
  perform tests.do_as('mechanic ' || p_customer, format(
    'select public.submit_session_summary(%L, %L, %L, %L, %L)', tests.session_of(p_customer), p_findings, p_steps,
    p_next, p_parts
  ));
  return pg_temp.email(p_customer);
end
$$;

create function pg_temp.page(p_customer text, p_value text) returns text
language sql
as $$
  select format(
    '<h1>Your diagnostic session summary</h1><h2>What was found</h2><p>%1$s</p><h2>What was done</h2><p>%1$s</p>'
    '<h2>What comes next</h2><p>%1$s</p><h2>Parts</h2><p>%1$s</p>'
    '<p><a href="http://127.0.0.1:3000/sessions/%2$s">Open the session</a></p>', p_value, tests.session_of(p_customer)
  )
$$;

create temporary table texts (name, value, shown) on commit drop as
values
  ('plain words', 'pads & discs', 'pads &amp; discs'),
  ('a script', '<script>alert(1)</script>', '&lt;script&gt;alert(1)&lt;/script&gt;'),
  ('an image', '<img src=x onerror="alert(1)">', '&lt;img src=x onerror=&quot;alert(1)&quot;&gt;'),
  ('the end of our page', '</p></body></html><p>', '&lt;/p&gt;&lt;/body&gt;&lt;/html&gt;&lt;p&gt;'),
  ('a link of its own', '" onmouseover="x'' href=''javascript:x',
    '&quot; onmouseover=&quot;x&#39; href=&#39;javascript:x'),
  ('a comment', '--><!-- <![CDATA[', '--&gt;&lt;!-- &lt;![CDATA['),
  ('entities', '&lt;script&gt; &#60;b&#62; &amp;lt;', '&amp;lt;script&amp;gt; &amp;#60;b&amp;#62; &amp;amp;lt;'),
  ('headers', E'x\nBcc: a@example.test\n\nSubject: y', E'x<br>Bcc: a@example.test<br><br>Subject: y'),
  ('headers with returns', E'x\r\nBcc: a@example.test\r\n.\r\nQUIT', E'x\r<br>Bcc: a@example.test\r<br>.\r<br>QUIT'),
  ('a part of a message', E'--boundary\nContent-Type: text/html', E'--boundary<br>Content-Type: text/html'),
  ('a template', '{{constructor}} ${7*7} {amount} %s %1$s', '{{constructor}} ${7*7} {amount} %s %1$s'),
  ('JSON', '","to":"a@example.test', '&quot;,&quot;to&quot;:&quot;a@example.test'),
  ('backslashes', E'\\u003cscript\\u003e \\n', E'\\u003cscript\\u003e \\n'),
  ('SQL', '''); drop table sessions; --', '&#39;); drop table sessions; --'),
  ('look-alikes', '＜script＞ ‹b› ʺ', '＜script＞ ‹b› ʺ'),
  ('signs that are not seen', E'a\u202eb\u0001c\u2028d', E'a\u202eb\u0001c\u2028d'),
  ('very much', repeat('<', 4000), repeat('&lt;', 4000));

create temporary table mails on commit drop as
select n.*, pg_temp.about(n.customer, n.value, n.value, n.value, n.value) as mail
from (select t.*, 'customer' || row_number() over () as customer from texts as t) as n;
select is(
  m.mail,
  jsonb_build_object(
    'to', m.customer || '@example.test', 'from', 'support@example.com', 'subject', 'Your diagnostic session summary',
    'html', pg_temp.page(m.customer, m.shown)
  ),
  format('SUM-01: %s in every field', m.name)
)
from mails as m;
select is_empty(
  $$ select m.name from mails as m
     where regexp_replace(
       m.mail ->> 'html', '</?(h1|h2|p)>|<br>|<a href="http://127.0.0.1:3000/sessions/[0-9a-f-]{36}">|</a>', '', 'g'
     ) ~ '[<>"'']' $$,
  'SUM-01: of HTML there is only ours'
);
create temporary table short on commit drop as select pg_temp.about('short', 'a', 'b', 'c', null) ->> 'html' as page;
select is(
  (select s.page from short as s),
  format(
    '<h1>Your diagnostic session summary</h1><h2>What was found</h2><p>a</p><h2>What was done</h2><p>b</p>'
    '<h2>What comes next</h2><p>c</p><p><a href="http://127.0.0.1:3000/sessions/%s">Open the session</a></p>',
    tests.session_of('short')
  ),
  'SUM-01: without parts there is no heading for them'
);

-- The people's names are not in it, whatever they are.
select tests.session_in('completed', 'named', 'his mechanic');
select tests.do_as(who, format('select public.update_profile(%L)', '<script>' || upper(who) || '</script>'))
from unnest(array['named', 'his mechanic']) as who;
select tests.sum_up('his mechanic', 'named');
select unalike(pg_temp.email('named')::text, '%' || part || '%', format('SUM-01: no "%s" of a name', part))
from unnest(array['script', 'NAMED', 'MECHANIC']) as part;

-- The address.
create function pg_temp.to_address(p_customer text, p_email text) returns jsonb
language plpgsql
as $$
begin
  perform tests.session_in('completed', p_customer, 'mechanic ' || p_customer);
  update auth.users set email = p_email where id = tests.id(p_customer);
  perform tests.sum_up('mechanic ' || p_customer, p_customer);
  return pg_temp.email(p_customer) -> 'to';
end
$$;
create temporary table addresses on commit drop as
select a.*, pg_temp.to_address('address' || a.n, a.email) as sent_to
from (select v.email, v.is_plain, row_number() over () as n from (
  values
    ('o''brien+tag@example.test', true), ('a&b=c@example.test', true), ('jörg@bücher.example', true),
    (null, false), ('', false), ('   ', false),
    (E'a@example.test\nBcc: b@example.test', false), (E'a@example.test\r\nBcc: b@example.test', false),
    (E'a@example.test\nBcc', false), (E'a@example.test\n', false), (E'\ra@example.test', false),
    (E'a@example.test\r\n\r\n<script>', false), (E'a@example.test\u000bBcc', false), (E'a@example.test\u0001', false),
    (E'a@example.test\u007f', false), (E'a@example.test\u0085Bcc', false), (E'a@example.test\u2028Bcc', false),
    ('a@example.test, b@example.test', false), ('a@example.test,b@example.test', false),
    ('a@example.test;b@example.test', false), ('a@example.test b@example.test', false),
    ('A <a@example.test>', false), ('<a@example.test>', false), ('"a"@example.test', false),
    ('team:a@example.test', false), ('a\@example.test', false), (repeat('a', 240) || '@example.test', false)
) as v (email, is_plain)) as a;
select is_empty(
  $$ select a.email from addresses as a where a.is_plain and a.sent_to is distinct from to_jsonb(a.email) $$,
  'SUM-01: a plain address is written to as it is'
);
select is_empty(
  $$ select to_json(a.email), a.sent_to from addresses as a where not a.is_plain and a.sent_to is not null $$,
  'SUM-01: what would be a second header, a second reader or no address at all is not written to'
);
select is_empty(
  $$ select a.n from addresses as a
     where not exists (
       select from public.notifications as n
       where n.user_id = tests.id('address' || a.n) and n.kind = 'summary_ready'
     ) $$,
  'SUM-01, NOTE-01: and finds the notification all the same'
);

-- The site and the sender are the operator's settings; they get no say over the page either.
select tests.admin('admin');
select is(
  tests.outcome('admin', format('select public.set_setting(%L, %L)', 'mail_from', to_jsonb(sender))),
  'PT422 invalid_argument', 'SUM-01, MOD-07: a sender that begins a second header is none'
)
from unnest(array[E'a@example.test\r\nBcc: b@example.test', E'a@example.test\n', E'a\u0001@example.test']) as sender;
select tests.do_as('admin', format('select public.set_setting(%L, %L)', 'site_url', to_jsonb('http://x/"><b>'::text)));
select tests.session_in('completed', 'sited', 'sited mechanic');
select tests.sum_up('sited mechanic', 'sited');
select matches(
  pg_temp.email('sited') ->> 'html', '<a href="http://x/&quot;&gt;&lt;b&gt;/sessions/[0-9a-f-]{36}">',
  'SUM-01: the address of the site is escaped'
);

select * from finish();

rollback;
