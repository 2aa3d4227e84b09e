package harness

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
)

// MoveClock moves the wall clock of the gateway's process, and of nothing else, to that much before or
// after the machine's. Its monotonic clock goes on as it was, as when somebody sets a machine's clock. It
// needs a binary with its symbols, else it returns errors.ErrUnsupported.
//
// A Go program asks the kernel's vDSO for the time, by way of a variable of its runtime. That is
// pointed at a few instructions that ask there and add to what comes back. They are put in the place of
// a function that only debuggers call.
func (i *Installation) MoveClock(by time.Duration) error {
	program, err := elf.Open(i.Binary)
	if err != nil {
		return err
	}
	defer program.Close()
	symbols, err := program.Symbols()
	if err != nil {
		return errors.ErrUnsupported
	}
	var pointer, place uint64
	for _, s := range symbols {
		switch s.Name {
		case "runtime.vdsoClockgettimeSym":
			pointer = s.Value
		case "runtime.debugCallV2.abi0", "runtime.debugCallV2":
			if s.Size >= 64 {
				place = s.Value
			}
		}
	}
	if pointer == 0 || place == 0 {
		return errors.ErrUnsupported
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", i.Process()), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	real, err := readWord(memory, pointer)
	if err != nil {
		return err
	}
	if real == 0 {
		return errors.ErrUnsupported
	}
	if real == place { // moved before
		if real, err = readWord(memory, place+realAt); err != nil {
			return err
		}
	}
	code := bytes.Clone(movedClock)
	putWord(code[realAt:], real)
	putWord(code[offsetAt:], uint64(by/time.Second))              //nolint:gosec // two's complement is meant
	if _, err := memory.WriteAt(code, int64(place)); err != nil { //nolint:gosec // an address of the program's text
		return err
	}
	_, err = memory.WriteAt(putWord(make([]byte, 8), place), int64(pointer)) //nolint:gosec // likewise
	return err
}

// movedClock is clock_gettime(id, time), with two words to be filled in.
var movedClock = []byte{
	0x57,                   // push rdi
	0x56,                   // push rsi
	0x48, 0x83, 0xec, 0x08, // sub rsp, 8
	0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, // mov rax, the real one
	0xff, 0xd0, // call rax
	0x48, 0x83, 0xc4, 0x08, // add rsp, 8
	0x5e,       // pop rsi
	0x5f,       // pop rdi
	0x85, 0xff, // test edi, edi
	0x75, 0x0d, // jne end: not CLOCK_REALTIME
	0x48, 0xb9, 0, 0, 0, 0, 0, 0, 0, 0, // mov rcx, seconds
	0x48, 0x01, 0x0e, // add [rsi], rcx
	0xc3, // end: ret
}

// Where the words are in movedClock.
const (
	realAt   = 8
	offsetAt = 30
)

func readWord(memory *os.File, at uint64) (uint64, error) {
	var word [8]byte
	_, err := memory.ReadAt(word[:], int64(at)) //nolint:gosec // an address of the program's data
	return binary.LittleEndian.Uint64(word[:]), err
}

func putWord(into []byte, word uint64) []byte {
	binary.LittleEndian.PutUint64(into, word)
	return into
}
