package sqlite_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// roleVariable makes the test binary another process of a test.
const roleVariable = "KALPANA_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role, os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}
