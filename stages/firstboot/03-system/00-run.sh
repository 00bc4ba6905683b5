#!/bin/bash -e

"${STAGE_DIR}/../install-overlay"
