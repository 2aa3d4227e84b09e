package docker

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
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

// projectName is the extended attribute that keeps which project the engine gave a directory. Whoever owns the
// directory can have it counted to another one, but not change this.
const projectName = "trusted.kalpana.project"

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
	_     int8
	flags uint16
	_     [96]byte
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
	if err := quotactl(fd, getState, 0, &s); err != nil || s.flags&enforced == 0 {
		return fmt.Errorf("the file system of %s has no project quotas: %w", dir, errors.ErrUnsupported)
	}
	var q dquot // of what belongs to no project
	if err := quotactl(fd, getQuota, 0, &q); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("project quotas of %s: %w", dir, err)
	}
	return nil
}

func (kernelQuotas) keep(dir string) error {
	project, err := projectOf(dir)
	if err != nil {
		return err
	}
	above, err := projectOf(filepath.Dir(dir))
	if err != nil || project == above {
		return err // the engine has given it none
	}
	err = unix.Lsetxattr(dir, projectName, strconv.AppendUint(nil, uint64(project), 10), unix.XATTR_CREATE)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func (kernelQuotas) bound(dir string, limit func(taken int64) int64) error {
	fd, err := openDir(dir)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // only read
	kept := make([]byte, 16)
	n, err := unix.Fgetxattr(fd, projectName, kept)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the project of %s: %w", dir, err)
	}
	number, err := strconv.ParseUint(string(kept[:n]), 10, 32)
	if err != nil {
		return fmt.Errorf("look at the project of %s: %w", dir, err)
	}
	project := uint32(number)
	var q dquot
	if err := quotactl(fd, getQuota, project, &q); err != nil {
		return fmt.Errorf("look at the quota of %s: %w", dir, err)
	}
	blocks := (uint64(max(limit(int64(q.taken*dquotBlock)), 0)) + dquotBlock - 1) / dquotBlock //nolint:gosec // a disk beyond 8 EiB
	if q.hard == blocks && q.soft == blocks {
		return nil
	}
	q = dquot{version: dquotVersion, flags: dquotProject, fields: dquotBlocks, id: project, hard: blocks, soft: blocks}
	if err := quotactl(fd, setLimits, project, &q); err != nil {
		return fmt.Errorf("set the quota of %s: %w", dir, err)
	}
	return nil
}

func openDir(dir string) (int, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("look at the quota of %s: %w", dir, err)
	}
	return fd, nil
}

// projectOf returns the project that a directory is counted to, 0 for none.
func projectOf(dir string) (uint32, error) {
	fd, err := openDir(dir)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd) //nolint:errcheck // only read
	var a attributes
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), getAttributes, uintptr(unsafe.Pointer(&a))); errno != 0 { //nolint:gosec // there is no other way
		return 0, fmt.Errorf("look at the project of %s: %w", dir, errno)
	}
	return a.project, nil
}

// quotactl is quotactl_fd(2), which came with Linux 5.14: it needs no path to the device.
func quotactl[T dquot | quotaState](fd int, command, id uint32, data *T) error {
	_, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, uintptr(fd), uintptr(command), uintptr(id), uintptr(unsafe.Pointer(data)), 0, 0) //nolint:gosec // as above
	if errno != 0 {
		return errno
	}
	return nil
}
