// Command backend stands in for what runs in a workspace's container, and costs next to nothing, so
// that a benchmark measures what is in front of it. It asks every request for the workspace's token
// and then answers 1 KiB, or, where a WebSocket is asked for, echoes each message.
//
// It reads HTTP by itself: net/http would take a good part of a proxy's time again. It understands
// the benchmark's own requests, which have no body, and no others.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 6455 section 4.2.2 asks for it
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/kalpana-dev/kalpana/bridge"
)

// bodySize is the size of an answer, in bytes.
const bodySize = 1 << 10

var (
	token = []byte(os.Getenv(bridge.EnvToken))

	kilobyte     = answer("200 OK", "application/octet-stream", strings.Repeat("k", bodySize))
	ready        = answer("200 OK", "application/json", `{"ready":true}`)
	unauthorized = answer("401 Unauthorized", "text/plain", "no token\n")
)

func answer(status, kind, body string) []byte {
	return []byte("HTTP/1.1 " + status + "\r\nContent-Type: " + kind + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

func main() {
	if len(token) == 0 {
		log.Fatal(bridge.EnvToken + " is empty")
	}
	for _, addr := range []string{":8080", ":3001"} {
		listener, err := net.Listen("tcp", addr)
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					log.Fatal(err)
				}
				go func() {
					defer conn.Close()
					serve(conn)
				}()
			}
		}()
	}
	select {}
}

// request is what is looked at of one.
type request struct {
	path       []byte
	authorized bool
	socketKey  string // of a WebSocket, else ""
}

func serve(conn net.Conn) {
	in := bufio.NewReaderSize(conn, 4<<10)
	for {
		r, err := read(in)
		if err != nil {
			return
		}
		out := kilobyte
		switch {
		case !r.authorized:
			out = unauthorized
		case r.socketKey != "":
			echo(conn, in, r.socketKey)
			return
		case string(r.path) == bridge.ReadyPath:
			out = ready
		}
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

var (
	tokenName = []byte(bridge.TokenHeader)
	keyName   = []byte("Sec-WebSocket-Key")
)

func read(in *bufio.Reader) (request, error) {
	var r request
	line, err := in.ReadSlice('\n')
	if err != nil {
		return r, err
	}
	_, rest, _ := bytes.Cut(line, []byte(" "))
	path, _, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return r, errors.New("not HTTP")
	}
	if string(path) == bridge.ReadyPath {
		r.path = []byte(bridge.ReadyPath) // the line is overwritten by the next
	}
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return r, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			return r, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case len(name) == len(tokenName) && bytes.EqualFold(name, tokenName):
			r.authorized = bytes.Equal(bytes.TrimSpace(value), token)
		case len(name) == len(keyName) && bytes.EqualFold(name, keyName):
			r.socketKey = string(bytes.TrimSpace(value))
		}
	}
}

// echo answers the handshake and sends each message back until the connection ends. RFC 6455
// section 5.2: a client's frames are masked, a server's are not.
func echo(conn net.Conn, in *bufio.Reader, key string) {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // as above
	_, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: "+base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
	var frame []byte // as long as the longest so far
	for err == nil {
		var head [8]byte // two bytes, two of length, four of mask
		if _, err = io.ReadFull(in, head[:2]); err != nil {
			return
		}
		size, rest := int(head[1]&0x7f), head[2:6]
		switch size {
		case 127:
			return // longer than anything the benchmark sends
		case 126:
			rest = head[2:8]
		}
		if _, err = io.ReadFull(in, rest); err != nil {
			return
		}
		length := byte(size)
		if size == 126 {
			size = int(binary.BigEndian.Uint16(rest))
		}
		if len(frame) < 4+size {
			frame = make([]byte, 4+size)
		}
		out := frame[:2]
		out[0], out[1] = head[0], length
		if length == 126 {
			out = append(out, rest[:2]...)
		}
		mask, at := rest[len(rest)-4:], len(out)
		out = out[:at+size]
		if _, err = io.ReadFull(in, out[at:]); err != nil {
			return
		}
		for i := range out[at:] {
			out[at+i] ^= mask[i&3]
		}
		_, err = conn.Write(out)
	}
}
