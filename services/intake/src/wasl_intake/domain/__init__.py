"""Pure rules of intake: what a report may be, what a receipt is. No input, no output."""
