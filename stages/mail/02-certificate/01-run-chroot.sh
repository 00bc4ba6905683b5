#!/bin/bash -e

systemctl enable mojomail-certificate.service mojomail-certificate.timer
