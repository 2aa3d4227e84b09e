package bridge

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Methods that tell of the container as a machine.
const (
	MethodListPorts = "listPorts"
	MethodResources = "resources"
)

// MaxPorts bounds the ports of a ListPortsResult.
const MaxPorts = 500

// Values of ListeningPort.Address.
const (
	ListenLoopback = "loopback" // of the container: previews and tunnels reach it, nobody else does
	ListenAny      = "any"      // every address
	ListenOther    = "other"    // one other address: neither previews nor tunnels reach it
)

// ListPortsParams are the parameters of MethodListPorts: none.
type ListPortsParams struct{}

// ListPortsResult is the answer to MethodListPorts.
type ListPortsResult struct {
	// Ports are sorted by number. The bridge's own are left out.
	Ports     []ListeningPort `json:"ports"`
	Truncated bool            `json:"truncated,omitempty"`
}

// ListeningPort is a TCP port that a program listens on, by IPv4, IPv6 or both.
type ListeningPort struct {
	Port int `json:"port"`
	// Address is one of the Listen constants, the widest where there are several.
	Address string `json:"address"`
	// Process is the name of the program, PID its number in the container: empty and 0 for one of another user.
	// Command is the start of its command line. Client replaces control characters by U+FFFD.
	Process string `json:"process,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Command string `json:"command,omitempty"`
}

// ResourcesParams are the parameters of MethodResources.
type ResourcesParams struct {
	// Files has the files of the workspace folder counted, which may take some seconds.
	Files bool `json:"files,omitempty"`
}

// ResourcesResult is the answer to MethodResources. What the container cannot tell is 0.
type ResourcesResult struct {
	CPU    CPUUse    `json:"cpu"`
	Memory MemoryUse `json:"memory"`
	PIDs   PIDUse    `json:"pids"`
	Disk   DiskUse   `json:"disk"`
	// Files is set if it was asked for.
	Files *FilesUse `json:"files,omitempty"`
}

// CPUUse is the use of processors.
type CPUUse struct {
	// Share of the limit that was used since this was last asked for, from 0 to 1.
	Share float64 `json:"share"`
	// Limit in processors: what the container may have, or what the machine has.
	Limit float64 `json:"limit"`
	// UsedMs is the time used since the container started, of all processors together.
	UsedMs int64 `json:"usedMs"`
}

// MemoryUse is in bytes. What the kernel would give back at once is not counted.
type MemoryUse struct {
	Used int64 `json:"used"`
	// Limit is 0 where there is none.
	Limit int64 `json:"limit"`
}

// PIDUse counts processes and threads.
type PIDUse struct {
	Current int64 `json:"current"`
	// Limit is 0 where there is none.
	Limit int64 `json:"limit"`
}

// DiskUse is the file system of the workspace folder, in bytes; others may use it, too.
type DiskUse struct {
	Size int64 `json:"size"`
	// Free is what the workspace's user may still write.
	Free int64 `json:"free"`
}

// FilesUse is what is in the workspace folder.
type FilesUse struct {
	Count int64 `json:"count"`
	// Bytes on the disk.
	Bytes int64 `json:"bytes"`
	// Truncated: there was no time for all.
	Truncated bool `json:"truncated,omitempty"`
}

// ListPorts lists the TCP ports that programs in the container listen on.
func (c *Client) ListPorts(ctx context.Context) (*ListPortsResult, error) {
	return ask(ctx, c, MethodListPorts, 0, &ListPortsParams{}, (*ListPortsResult).check)
}

// Resources asks what the container uses.
func (c *Client) Resources(ctx context.Context, p ResourcesParams) (*ResourcesResult, error) {
	limit := time.Duration(0)
	if p.Files {
		limit = FilesUseLimit
	}
	return ask(ctx, c, MethodResources, limit, &p, (*ResourcesResult).check)
}

// FilesUseLimit bounds the counting of files.
const FilesUseLimit = 10 * time.Second

func (r *ListPortsResult) check() error {
	if len(r.Ports) > MaxPorts {
		return fmt.Errorf("%d ports", len(r.Ports))
	}
	for i := range r.Ports {
		p := &r.Ports[i]
		p.Process, p.Command = Printable(p.Process, 64), Printable(p.Command, MaxCommandText)
		switch p.Address {
		case ListenLoopback, ListenAny, ListenOther:
		default:
			return errors.New("no such address")
		}
		if p.Port < 1 || p.Port > 65535 || p.PID < 0 {
			return fmt.Errorf("port %d of process %d", p.Port, p.PID)
		}
	}
	return nil
}

func (r *ResourcesResult) check() error {
	for _, x := range []float64{r.CPU.Share, r.CPU.Limit} {
		if math.IsNaN(x) || x < 0 || x > 1<<20 {
			return errors.New("a number out of bounds")
		}
	}
	numbers := []int64{r.CPU.UsedMs, r.Memory.Used, r.Memory.Limit, r.PIDs.Current, r.PIDs.Limit, r.Disk.Size, r.Disk.Free}
	if r.Files != nil {
		numbers = append(numbers, r.Files.Count, r.Files.Bytes)
	}
	for _, n := range numbers {
		if n < 0 {
			return errors.New("a negative number")
		}
	}
	return nil
}
