package docker

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel's numbers for project quotas (linux/quota.h, linux/dqblk_xfs.h, linux/fs.h). Its calls named after XFS
// are ext4's as well.
const (
	projectQuota = 2
	getQuota     = ('X'<<8|3)<<8 | projectQuota // Q_XGETQUOTA
	setLimits    = ('X'<<8|4)<<8 | projectQuota // Q_XSETQLIM
	getState     = ('X'<<8|5)<<8 | projectQuota // Q_XGETQSTAT

	enforced = 1 << 5 // FS_QUOTA_PDQ_ENFD

	dquotVersion = 1
	dquotProject = 1 << 1      // FS_PROJ_QUOTA
	dquotBlocks  = 1<<2 | 1<<3 // FS_DQ_BSOFT, FS_DQ_BHARD
	dquotBlock   = 512         // bytes

	getAttributes = 0x801c581f // FS_IOC_FSGETXATTR
)

// dquot is struct fs_disk_quota.
type dquot struct {
	version    int8
	flags      int8
	fields     uint16
	id         uint32
	hard, soft uint64 // blocks that may be taken
	_          [2]uint64
	taken      uint64 // blocks
	_          [64]byte
}

// quotaState is struct fs_quota_stat.
type quotaState struct {
	version int8
	flags   uint16
	_       [96]byte
}

// attributes is struct fsxattr.
type attributes struct {
	_       [3]uint32
	project uint32
	_       [3]uint32
}

type kernelQuotas struct{}

func (kernelQuotas) may(dir string) error {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%w: %s cannot be looked at from here: %v", errors.ErrUnsupported, dir, err) //nolint:errorlint // who asks may change nothing there, either
	}
	defer unix.Close(fd) //nolint:errcheck // only read
	var s quotaState
	if err := quotactl(fd, getState, 0, unsafe.Pointer(&s)); err != nil || s.flags&enforced == 0 {
		return fmt.Errorf("the file system of %s has no project quotas: %w", dir, errors.ErrUnsupported)
	}
	var q dquot // of what belongs to no project
	if err := quotactl(fd, getQuota, 0, unsafe.Pointer(&q)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("project quotas of %s: %w", dir, err)
	}
	return nil
}

func (kernelQuotas) bound(dir string, limit func(taken int64) int64) error {
	fd, project, err := projectOf(dir)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // only read
	above, inherited, err := projectOf(filepath.Dir(dir))
	if err != nil {
		return err
	}
	_ = unix.Close(above)
	if project == 0 || project == inherited {
		return nil // the engine has given it none
	}
	var q dquot
	if err := quotactl(fd, getQuota, project, unsafe.Pointer(&q)); err != nil {
		return fmt.Errorf("look at the quota of %s: %w", dir, err)
	}
	blocks := (uint64(max(limit(int64(q.taken*dquotBlock)), 0)) + dquotBlock - 1) / dquotBlock //nolint:gosec // a disk beyond 8 EiB
	if q.hard == blocks && q.soft == blocks {
		return nil
	}
	q = dquot{version: dquotVersion, flags: dquotProject, fields: dquotBlocks, id: project, hard: blocks, soft: blocks}
	if err := quotactl(fd, setLimits, project, unsafe.Pointer(&q)); err != nil {
		return fmt.Errorf("set the quota of %s: %w", dir, err)
	}
	return nil
}

// projectOf opens a directory and returns the project that it is counted to.
func projectOf(dir string) (fd int, project uint32, err error) {
	fd, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, 0, fmt.Errorf("look at the quota of %s: %w", dir, err)
	}
	var a attributes
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), getAttributes, uintptr(unsafe.Pointer(&a))); errno != 0 {
		_ = unix.Close(fd)
		return -1, 0, fmt.Errorf("look at the project of %s: %w", dir, errno)
	}
	return fd, a.project, nil
}

// quotactl is quotactl_fd(2), which came with Linux 5.14: it needs no path to the device.
func quotactl(fd int, command, id uint32, data unsafe.Pointer) error {
	_, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, uintptr(fd), uintptr(command), uintptr(id), uintptr(data), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
