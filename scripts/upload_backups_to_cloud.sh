#!/usr/bin/env bash
# Copy the archives of a home to a cloud store with rclone. Archives are encrypted before they leave: the store learns
# nothing but their names and sizes. Nothing is ever deleted there.
#
#   scripts/upload_backups_to_cloud.sh [--dry-run] REMOTE[:PATH]
#
# REMOTE is one of `rclone listremotes`, such as backup:tradebot. The home is TRADEBOT_HOME, or ./home.
set -euo pipefail

usage() {
  echo "usage: $0 [--dry-run] REMOTE[:PATH]   (the home is TRADEBOT_HOME, or ./home)" >&2
  exit 2
}

dry_run=()
if [ "${1:-}" = "--dry-run" ]; then
  dry_run=(--dry-run)
  shift
fi
[ $# = 1 ] || usage
case "$1" in
  -* | "") usage ;;
  *:*) target=$1 ;;
  *) target=$1: ;;
esac

folder=${TRADEBOT_HOME:-home}/backups
if [ ! -d "$folder" ]; then
  echo "There is no folder $folder: no archive was made yet (python supervisor/auto_backup.py make)." >&2
  exit 1
fi
if ! command -v rclone >/dev/null 2>&1; then
  echo "rclone is not installed: https://rclone.org/install/, or apt-get install rclone. Nothing was copied." >&2
  exit 1
fi

# Whole archives alone: one that is being written has another name. --immutable: what is there is never written over.
rclone copy "$folder" "$target" --include '*.zip.age' --immutable --checksum "${dry_run[@]}" --verbose
if [ ${#dry_run[@]} = 0 ]; then
  rclone check "$folder" "$target" --include '*.zip.age' --one-way
  echo "Every archive of $folder is at $target."
fi
