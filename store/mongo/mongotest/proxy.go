package mongotest

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
)

// Proxy stands before a server of MongoDB's protocol and lets one command through at a time, from all
// of its clients.
type Proxy struct {
	listener net.Listener
	server   string
	commands sync.Mutex // held from a command to its answer
	work     sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
	// Before, where it is set, is called before a command is sent, one call at a time. False breaks the
	// connection in place of sending it.
	before func(command []byte) bool
	// After is called before an answer is handed on. False breaks the connection instead.
	after func(command []byte) bool
}

// NewProxy returns a proxy on a free port of this machine.
func NewProxy(server string) (*Proxy, error) { return NewProxyAt("tcp", "127.0.0.1:0", server) }

// NewProxyAt returns a proxy that listens as in net.Listen.
func NewProxyAt(network, address, server string) (*Proxy, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, server: server, conns: map[net.Conn]bool{}}
	p.work.Go(p.serve)
	return p, nil
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Fault breaks the connection of commands: before they reach the server, or after it has carried them
// out, when a function given returns false. Nil ends that.
func (p *Proxy) Fault(before, after func(command []byte) bool) {
	p.commands.Lock()
	defer p.commands.Unlock()
	p.before, p.after = before, after
}

// Close ends it and every connection.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
}

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.carry(client) })
	}
}

// keep notes a connection to be closed, unless the proxy is closed already.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	_ = c.Close()
}

func (p *Proxy) carry(client net.Conn) {
	defer p.drop(client)
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer p.drop(server)
	if !p.keep(client) || !p.keep(server) {
		return
	}
	for {
		command, err := message(client)
		if err != nil || p.exchange(client, server, command) != nil {
			return
		}
	}
}

// exchange sends a command and hands its answer on, while all others wait.
func (p *Proxy) exchange(client, server net.Conn, command []byte) error {
	answer, err := func() ([]byte, error) {
		p.commands.Lock()
		defer p.commands.Unlock()
		if p.before != nil && !p.before(command) {
			return nil, io.ErrClosedPipe
		}
		if _, err := server.Write(command); err != nil {
			return nil, err
		}
		answer, err := message(server)
		if err == nil && p.after != nil && !p.after(command) {
			err = io.ErrClosedPipe
		}
		return answer, err
	}()
	if err != nil {
		return err
	}
	_, err = client.Write(answer)
	return err
}

// message reads one message: its first four bytes are its length.
// https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
func message(from io.Reader) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(from, head); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint32(head)
	if length < 16 || length > 64<<20 {
		return nil, errShort
	}
	whole := make([]byte, length)
	copy(whole, head)
	_, err := io.ReadFull(from, whole[4:])
	return whole, err
}
