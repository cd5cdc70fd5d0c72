"""What a quantum solve is charged for, and what follows: tables, verdicts and break-even points, without solving."""
