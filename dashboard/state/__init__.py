"""What a session has chosen, and where it is kept: address, links, drafts."""
