#!/bin/bash -e

systemctl enable mojomaild.service
