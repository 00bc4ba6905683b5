#!/bin/bash -e

locale-gen

# Nobody logs in as root with a password, and there is no other user.
usermod --lock root
