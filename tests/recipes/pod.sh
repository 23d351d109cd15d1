# Run a command as a container does: `unshare --mount sh pod.sh ROOT USER FOLDER [SOURCE TARGET MODE]… -- COMMAND…`.
# What is mounted nowhere is read-only, and so is all that this machine has. ROOT is an empty folder.
set -eu
root=$1 user=$2 folder=$3
shift 3
mount -t tmpfs pod "$root"
for each in /*; do
  if [ -L "$each" ]; then
    cp -P "$each" "$root"
  elif [ -d "$each" ]; then
    mkdir "$root$each"
    mount --rbind "$each" "$root$each"
    # In /proc unshare writes which users there are.
    [ "$each" = /proc ] || mount -o remount,bind,ro "$root$each"
  fi
done
while [ "$1" != -- ]; do
  mkdir -p "$root$2"
  mount --bind "$1" "$root$2"
  mount -o "remount,bind,$3" "$root$2"
  shift 3
done
shift
mkdir "$root/.machine"
cd "$root"
pivot_root . .machine
mount -o remount,bind,ro /
umount -l /.machine
cd "$folder"
exec unshare --user --map-user="$user" --map-group="$user" "$@"
