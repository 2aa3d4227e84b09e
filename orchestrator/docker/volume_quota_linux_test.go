package docker

import (
	"errors"
	"os"
	"testing"
	"unsafe"
)

func TestKernelQuotas_OfADiskThatHasNone(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/dev/shm", "kalpana-test-*") // memory has no projects on any kernel
	if err != nil {
		t.Skip("there is no /dev/shm: ", err)
	}
	defer os.RemoveAll(dir)
	for _, dir := range []string{dir, dir + "/none"} {
		if err := (kernelQuotas{}).may(dir); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	_ = kernelQuotas{}.bound(dir, func(int64) int64 { t.Error("something is taken"); return 0 }) // not every kernel keeps such attributes there
	if d, a := unsafe.Sizeof(dquot{}), unsafe.Sizeof(attributes{}); d != 112 || a != 28 {
		t.Errorf("sizes of the kernel's structures: %d, %d", d, a)
	}
}
