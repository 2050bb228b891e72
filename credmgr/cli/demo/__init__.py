"""`credmgr demo`: the story of a credential, told once or kept running."""
