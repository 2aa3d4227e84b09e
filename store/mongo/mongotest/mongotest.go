// Package mongotest runs a server of MongoDB's protocol for tests: FerretDB v1 on SQLite, a program of
// a module of its own that is built once and kept in the user's cache.
//
// FerretDB v1 loses updates that come at the same time, so that it stands behind a proxy that lets one
// command through at a time. With KALPANA_TEST_MONGODB, a connection string, tests reach a real MongoDB
// instead, without the proxy.
package mongotest

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Variable names the environment variable with the connection string of a real MongoDB.
const Variable = "KALPANA_TEST_MONGODB"

// Real reports whether tests reach a real MongoDB, which is meant for many records and concurrent writers.
func Real() bool { return os.Getenv(Variable) != "" }

// Start returns the connection string of a server that runs until the test ends.
func Start(tb testing.TB) string {
	tb.Helper()
	if uri := os.Getenv(Variable); uri != "" {
		return uri
	}
	server := exec.Command(build(tb)) //nolint:gosec // a program of ours
	var says strings.Builder
	server.Stderr = &says
	stdin, err := server.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := server.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := server.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = stdin.Close() // which ends it
		_, _ = io.Copy(io.Discard, stdout)
		_ = server.Wait()
		if tb.Failed() && says.Len() > 0 {
			tb.Logf("FerretDB says:\n%s", says.String())
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		tb.Fatalf("FerretDB did not start: %v\n%s", err, says.String())
	}
	uri, err := url.Parse(strings.TrimSpace(line))
	if err != nil {
		tb.Fatal(err)
	}
	p, err := NewProxy(uri.Host)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return "mongodb://" + p.Addr() + "/"
}

// Database returns the name of a new database, which is removed when the test ends.
func Database(tb testing.TB, uri string) string {
	tb.Helper()
	name := "kalpana-test-" + strings.ToLower(rand.Text()[:10])
	if !Real() { // FerretDB's end with it
		return name
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		client, err := mongo.Connect(options.Client().ApplyURI(uri))
		if err != nil {
			tb.Error(err)
			return
		}
		if err := errors.Join(client.Database(name).Drop(ctx), client.Disconnect(ctx)); err != nil {
			tb.Error(err)
		}
	})
	return name
}

// build returns the path of the server's program in the user's cache.
func build(tb testing.TB) string {
	tb.Helper()
	source := source(tb)
	hash := sha256.New()
	fmt.Fprintln(hash, runtime.Version())
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		text, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			tb.Fatal(err)
		}
		hash.Write(text)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(cache, "kalpana", "test-ferretdb-"+hex.EncodeToString(hash.Sum(nil)[:6]))
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		tb.Fatal(err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	defer lock.Close() //nolint:errcheck // nothing was written
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		tb.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil { // another package's tests have built it meanwhile
		return path
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), "test-ferretdb-new-")
	if err != nil {
		tb.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a leftover in the cache
	fresh := filepath.Join(dir, "ferretdb")
	start := time.Now()
	ctx, cancel := context.WithTimeout(tb.Context(), 15*time.Minute)
	defer cancel()
	// Not for other platforms, nor with the race detector, that the caller may be built for.
	compile := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", fresh, ".")
	compile.Dir = source
	compile.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := compile.CombinedOutput(); err != nil {
		tb.Fatalf("FerretDB does not build: %v\n%s", err, out)
	}
	tb.Logf("FerretDB was built in %v", time.Since(start).Round(time.Second))
	if err := os.Rename(fresh, path); err != nil {
		tb.Fatal(err)
	}
	return path
}

// source returns the directory of the server's module.
func source(tb testing.TB) string {
	tb.Helper()
	mod, err := exec.Command("go", "env", "GOMOD").Output() // the compiler's paths may be trimmed
	if err != nil {
		tb.Fatal(err)
	}
	return filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), "test", "ferretdb")
}

// errShort says that a message is shorter than its own head.
var errShort = errors.New("a message of MongoDB's protocol that is too short")
