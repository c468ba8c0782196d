#!/bin/sh
# The first process of a box, before it becomes systemd: everything on disk is visible, nothing that is written reaches it.
# Called by box.py inside new mount, pid, ipc, uts, network and cgroup namespaces.
#   box.sh DIRECTORY [SOURCE=TARGET ...]     directories that are to be seen at TARGET, read-only
# BOX_SYSTEMD: a directory that lies over the one on disk, such as unpacked packages of another systemd.
set -eu
box=$1
shift

mount --make-rprivate /
mount -t tmpfs -o mode=0755,size=512m tmpfs "$box"
mkdir "$box/changes" "$box/work" "$box/root"
if [ -n "${BOX_SYSTEMD:-}" ]; then cp -a "$BOX_SYSTEMD/." "$box/changes"; fi
mount -t overlay -o "lowerdir=/,upperdir=$box/changes,workdir=$box/work" overlay "$box/root"
root=$box/root

# No unit of the host is started, and nothing of its identity or its disks is known.
rm -rf "$root/etc/systemd/system" "$root/etc/systemd/user" "$root/var/log/journal"
mkdir -p "$root/etc/systemd/system" "$root/etc/tmpfiles.d" "$root/var/log"
: >"$root/etc/machine-id"
: >"$root/etc/fstab"
echo box >"$root/etc/hostname"
hostname box
# The packaged rules empty /tmp and touch what is the host's.
for rules in tmp x11 legacy; do ln -sf /dev/null "$root/etc/tmpfiles.d/$rules.conf"; done
cat >"$root/etc/systemd/system/box.target" <<END
[Unit]
Description=All that a box needs
Requires=basic.target systemd-journald.service
After=basic.target systemd-journald.service
AllowIsolate=yes
END

# The file systems that systemd expects of whoever starts it in a container (systemd.io/CONTAINER_INTERFACE).
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=0755,nosuid tmpfs "$root/dev"
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs "$root/run"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
mkdir "$root/dev/shm" "$root/dev/pts" "$root/run/lock"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
while read -r name major minor; do mknod -m 0666 "$root/dev/$name" c "$major" "$minor"; done <<END
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
END
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for number in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${number%%:*}" "$root/dev/${number#*:}"; done

for pair; do
    mkdir -p "$root${pair#*=}"
    mount --bind "${pair%%=*}" "$root${pair#*=}"
    mount -o remount,bind,ro "$root${pair#*=}"
done

cd "$root"
mkdir .before
pivot_root . .before
cd /
umount -l /.before
rmdir /.before
# Mounts for LoadCredential= and sandboxes have to reach the services.
mount --make-rshared /

# A container's systemd, without what would reach the kernel of everybody. Its own messages go to its journal too.
exec env -i container=prefork-test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    setpriv --bounding-set -sys_module,-sys_time,-sys_rawio,-syslog,-audit_control,-audit_read,-mac_admin,-mac_override \
    /lib/systemd/systemd --system --unit=box.target --show-status=no --log-target=journal --log-level=info
