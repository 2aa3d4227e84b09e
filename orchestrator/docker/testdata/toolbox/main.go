// Command toolbox is what the tests run inside containers: one static program, so that a test
// image needs nothing else.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	if len(os.Args) < 2 { // as a container's own command
		os.Args = append(os.Args, strings.Fields(os.Getenv("TOOLBOX"))...)
	}
	if len(os.Args) < 2 {
		os.Exit(64)
	}
	args := os.Args[2:]
	switch os.Args[1] {
	case "serve": // [port | udp:port ...]: answers on every port with its number until SIGTERM
		for _, port := range args {
			if udp, ok := strings.CutPrefix(port, "udp:"); ok {
				go serveUDP(udp)
			} else {
				go serve(port)
			}
		}
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		<-stop
		fmt.Println("stopped politely")
	case "stubborn": // ignores SIGTERM
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ignoring")
		time.Sleep(time.Hour)
	case "dial": // host:port ...: one line each, "<target> connected|refused|silent|<error>"
		dial(args)
	case "probe": // seconds host:port ...: as Config.ProbeCommand says
		dial(args[1:])
		table, _ := os.ReadFile("/proc/net/arp")
		for line := range strings.Lines(string(table)) {
			if f := strings.Fields(line); len(f) > 2 && f[2] == "0x2" {
				fmt.Println(f[0], "neighbour")
			}
		}
		seconds, _ := strconv.Atoi(args[0])
		time.Sleep(time.Duration(seconds) * time.Second)
	case "talk": // host:port: sends a byte every 20 ms for as long as the connection lives
		c, err := net.DialTimeout("tcp4", args[0], time.Second)
		for err == nil {
			_, err = c.Write([]byte{'.'})
			time.Sleep(20 * time.Millisecond)
		}
	case "send": // host:port: one UDP datagram, and prints the answer
		send(args[0], true)
	case "send-only": // host:port: one UDP datagram
		send(args[0], false)
	case "cat": // file ...
		for _, name := range args {
			b, err := os.ReadFile(name)
			if err != nil {
				fmt.Println(err)
			}
			os.Stdout.Write(b)
		}
	case "write": // file text
		if err := os.WriteFile(args[0], []byte(args[1]), 0o644); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	case "fill": // file bytes: prints how many could be written, and why no more
		n, _ := strconv.Atoi(args[1])
		fmt.Println(fill(args[0], n))
	case "remove": // file ...
		for _, name := range args {
			if err := os.Remove(name); err != nil {
				fmt.Println(err)
			}
		}
	case "count": // file project: has a file of one's own counted to another project
		project, _ := strconv.ParseUint(args[1], 10, 32)
		if err := count(args[0], uint32(project)); err != nil {
			fmt.Println(err)
		}
	case "sleep":
		time.Sleep(time.Hour)
	case "print": // text with Go escapes, n: prints it n times to stdout, "err" to stderr
		text, err := strconv.Unquote(`"` + args[0] + `"`)
		if err != nil {
			os.Exit(64)
		}
		n, _ := strconv.Atoi(args[1])
		os.Stdout.Write(bytes.Repeat([]byte(text), n))
		fmt.Fprintln(os.Stderr, "err")
	case "eat": // takes memory until it is killed; the engine does not notice why if it is at once
		time.Sleep(time.Second)
		var kept [][]byte
		for {
			kept = append(kept, bytes.Repeat([]byte{1}, 1<<20))
			_ = kept
		}
	case "exit": // code
		n, _ := strconv.Atoi(args[0])
		os.Exit(n)
	}
}

func serve(port string) {
	l, err := net.Listen("tcp4", ":"+port)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		fmt.Fprintf(c, "port %s\n", port)
		c.Close()
	}
}

func serveUDP(port string) {
	c, err := net.ListenPacket("udp4", ":"+port)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	b := make([]byte, 64)
	for {
		_, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		_, _ = c.WriteTo([]byte("pong"), from)
	}
}

func dial(targets []string) {
	var all sync.WaitGroup
	verdicts := make([]string, len(targets))
	for i, target := range targets {
		all.Go(func() {
			c, err := net.DialTimeout("tcp4", target, time.Second)
			var timeout net.Error
			switch {
			case err == nil:
				c.Close()
				verdicts[i] = "connected"
			case errors.Is(err, syscall.ECONNREFUSED):
				verdicts[i] = "refused"
			case errors.As(err, &timeout) && timeout.Timeout():
				verdicts[i] = "silent"
			default:
				verdicts[i] = err.Error()
			}
		})
	}
	all.Wait()
	for i, target := range targets {
		fmt.Println(target, verdicts[i])
	}
}

func send(target string, wait bool) {
	c, err := net.Dial("udp4", target)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = c.SetDeadline(time.Now().Add(1500 * time.Millisecond))
	_, _ = io.WriteString(c, "ping")
	if !wait {
		return
	}
	b := make([]byte, 64)
	n, err := c.Read(b)
	if err != nil {
		fmt.Println("silent")
		return
	}
	fmt.Println(strings.TrimSpace(string(b[:n])))
}

func fill(name string, size int) (written int, err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for chunk := make([]byte, 64<<10); written < size && err == nil; {
		var n int
		n, err = f.Write(chunk[:min(len(chunk), size-written)])
		written += n
	}
	return written, errors.Join(err, f.Sync())
}

// count is what chattr -p does: FS_IOC_FSGETXATTR and FS_IOC_FSSETXATTR with struct fsxattr.
func count(name string, project uint32) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var attributes [7]uint32
	for _, request := range []uintptr{0x801c581f, 0x401c5820} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(&attributes))); errno != 0 {
			return errno
		}
		attributes[3] = project
	}
	return nil
}
