"""What an operator asks a database: is it right, is it well, what happened in this session.

`asking` reads, on a connection that can write nothing; `showing` makes of it what a person reads.
"""
