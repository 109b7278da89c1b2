-- MON-12, MON-13: the split of a hold, as a pure function: shares rounded down, a doubt the customer's, never more
-- and never less than what was held.
begin;

select plan(15);

create function pg_temp.split_told(
  p_held integer, p_completed boolean, p_mechanic boolean, p_referrer boolean,
  p_refund_bps integer, p_mechanic_bps integer, p_share_bps integer, p_referral_bps integer
) returns text
language sql
as $$
  select format('%s/%s/%s/%s', s.refund_cents, s.share_cents, s.platform_cents, s.referral_cents)
  from private.split(
    p_held, p_completed, p_mechanic, p_referrer, p_refund_bps, p_mechanic_bps, p_share_bps, p_referral_bps
  ) as s
$$;

-- Refund, mechanic, platform, referral.
select is(
  pg_temp.split_told(held, true, true, referred, null, null, share, fee), expected, 'MON-12: ' || why
)
from (values
  (1500, false, 7000, 200, '0/1050/450/0', 'a share and the rest'),
  (999, false, 7000, 200, '0/699/300/0', 'a share is rounded down'),
  (999, true, 7000, 200, '0/699/281/19', 'so is the referral fee, out of the platform''s part'),
  (1000, true, 9900, 200, '0/990/0/10', 'which is never more than that part'),
  (1000, true, 10000, 200, '0/1000/0/0', 'and nothing of nothing'),
  (1, true, 7000, 200, '0/0/1/0', 'one cent is the platform''s'),
  (0, true, 7000, 200, '0/0/0/0', 'a free session is split into zeros'),
  (100000000, true, 7000, 200, '0/70000000/28000000/2000000', 'the largest amounts')
) as cases (held, referred, share, fee, expected, why);

select is(
  pg_temp.split_told(held, false, mechanic, true, refund, share, 7000, 200), expected, 'MON-13: ' || why
)
from (values
  (1500, true, 10000, 0, '1500/0/0/0', 'everything back'),
  (1500, true, null, null, '1500/0/0/0', 'without a policy everything back'),
  (1001, true, 5000, 5000, '501/500/0/0', 'half and half: the odd cent is the customer''s'),
  (1001, true, 3333, 3333, '334/333/334/0', 'what nobody gets stays with the platform'),
  (1000, false, 2500, 5000, '750/0/250/0', 'without a mechanic his part is the customer''s'),
  (0, true, 5000, 5000, '0/0/0/0', 'nothing of a free session')
) as cases (held, mechanic, refund, share, expected, why);

select is_empty(
  $$
    select * from generate_series(0, 1200, 7) as h (held)
    cross join (values (0), (1), (3333), (5000), (9999), (10000)) as a (bps)
    cross join (values (0), (1), (5000), (10000)) as b (bps)
    cross join (values (true), (false)) as c (is_completed)
    cross join (values (true), (false)) as m (has_mechanic)
    cross join lateral private.split(
      h.held, c.is_completed, m.has_mechanic, true, a.bps, least(b.bps, 10000 - a.bps), a.bps, b.bps
    ) as s
    where s.refund_cents + s.share_cents + s.platform_cents + s.referral_cents <> h.held
      or least(s.refund_cents, s.share_cents, s.platform_cents, s.referral_cents) < 0
  $$,
  'MON-12, MON-13: the parts always add up and are never below zero'
);

select * from finish();

rollback;
