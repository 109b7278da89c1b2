-- Manifest: the last file writes down what all of them made, so that the verification sees when something is gone.

insert into private.manifest (kind, name, definition)
select o.kind, o.name, o.definition from private.objects() o
on conflict (kind, name) do nothing;
