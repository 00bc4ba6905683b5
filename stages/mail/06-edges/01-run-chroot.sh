#!/bin/bash -e

systemctl enable mojomail-clock.timer
