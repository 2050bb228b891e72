"""The rules that come with credmgr, by what they look at, and the catalogue of all of them."""
