#!/bin/bash -e

systemctl enable nftables.service NetworkManager.service ModemManager.service

# A node is up when it is up, not when its link is.
systemctl disable NetworkManager-wait-online.service
