"""A stand-in for Supabase Realtime: broadcast and presence over its channel protocol.

The official clients work with it unchanged. Private topics are authorised by the policies on
realtime.messages, asked as the caller, as the real server asks them; what the database sends is
delivered once it is committed, in the order of the commits. For development and tests only: one
process, no replication, no postgres_changes, no replay.

`wire` reads and writes frames, `credentials` tells who a key or a token is, `policies` asks the
database what they may do, `rooms` knows who is in which topic, `committed` hears of rows that were
committed, `connection` is one client, and `server` puts them together.
"""
