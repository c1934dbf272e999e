"""Contact files, read without ever being held whole: bytes → rows → people. Pure; the database is elsewhere.

`shape` finds out what a file is, `csv_rows` and `json_rows` read it row by row with the byte behind each row known,
`cells` turns a row into a contact or a reason why not, `roster` decides who is the same person.
"""
