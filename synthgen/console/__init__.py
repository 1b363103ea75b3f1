"""What a terminal sees: commands, progress, tables. An edge: imported by cli alone, imports anything below."""
