package server

import (
	"os"
	"syscall"
	"unsafe"
)

// ptsNumber unlocks the terminal of a master and returns its number: ptmx(4), ioctl_tty(2).
func ptsNumber(ptmx *os.File) (number uint32, err error) {
	var unlock int32
	for request, arg := range map[uintptr]unsafe.Pointer{syscall.TIOCSPTLCK: unsafe.Pointer(&unlock), syscall.TIOCGPTN: unsafe.Pointer(&number)} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, ptmx.Fd(), request, uintptr(arg)); errno != 0 {
			return 0, errno
		}
	}
	return number, nil
}
