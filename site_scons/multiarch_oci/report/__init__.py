"""What a run did, as a record, and the record as a page, a trace and a summary. Pure functions of the record."""
