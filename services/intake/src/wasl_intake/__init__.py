"""The reporter's face of the hub: reports go in, receipts come out, timelines are read."""
