"""The numbers: templates, generators and the `datasets` builder. No torch, no Hub."""
