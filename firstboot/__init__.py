"""The first boot: what is asked, in which order, and the screens that ask it (TV, phone, preset file, plain text)."""
