-- The current default privileges: nothing that postgres creates in public is exposed by itself.
--
-- What stays open is what the platform leaves open: TRUNCATE, REFERENCES and TRIGGER on tables, UPDATE on
-- sequences, and EXECUTE through PUBLIC. Left out when tests prepare a database of the older kind.

alter default privileges for role postgres in schema public
revoke select, insert, update, delete on tables from anon, authenticated, service_role;
alter default privileges for role postgres in schema public
revoke usage, select on sequences from anon, authenticated, service_role;
alter default privileges for role postgres in schema public
revoke execute on functions from anon, authenticated, service_role;
