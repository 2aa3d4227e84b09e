package harness

import "testing"

// In another network namespace all of these are in use, and none is here.
func TestFreePort_ReturnsNoneTwice(t *testing.T) {
	seen := map[int]bool{}
	for range 2000 {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] {
			t.Fatalf("port %d twice", port)
		}
		seen[port] = true
	}
}
