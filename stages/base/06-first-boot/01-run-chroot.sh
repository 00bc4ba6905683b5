#!/bin/bash -e

systemctl enable mojomail-grow-root.service mojomail-first-secrets.service
