#!/bin/bash -e

# Compiled now, not on a Pi while somebody waits for the first picture; by content, so that the same source is the
# same file.
python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3/dist-packages/firstboot
