#!/bin/bash -e

systemctl enable mojomaild.service mojomail-prepare.service
