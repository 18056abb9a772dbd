"""The reporter's face of the hub: a report goes in, a receipt comes out, a timeline is read with it."""
