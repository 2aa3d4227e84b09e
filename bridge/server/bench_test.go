package server

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/kalpana-dev/kalpana/bridge"
)

// BenchmarkReadFile shows what the line "read" of the benchmark measures, for profiles.
func BenchmarkReadFile(b *testing.B) {
	c := start(b, "serve", func(cfg *Config) {
		cfg.Methods = map[string]func(context.Context, json.RawMessage) (any, error){
			"echo": func(_ context.Context, params json.RawMessage) (any, error) { return params, nil },
		}
	})
	content := strings.Repeat("0123456789abcde\n", 256)
	c.write("src/file.go", content)
	cl := c.dial()
	for name, call := range map[string]func() error{
		"read": func() error {
			_, err := cl.ReadFile(b.Context(), bridge.ReadFileParams{Path: "src/file.go"})
			return err
		},
		"echo": func() error {
			var r struct{ Content string }
			return cl.Call(b.Context(), "echo", map[string]string{"content": content}, &r)
		},
	} {
		for flight, n := range map[string]int{"1": 1, "32": 32} {
			b.Run(name+"/"+flight, func(b *testing.B) {
				var before, after syscall.Rusage
				_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
				var all sync.WaitGroup
				each := (b.N + n - 1) / n
				for range n {
					all.Go(func() {
						for range each {
							if err := call(); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
				_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
				cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
				b.ReportMetric(float64(cpu)/float64(b.N), "cpu-ns/op") // less noisy where others are at work
			})
		}
	}
}
