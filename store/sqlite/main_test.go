package sqlite_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/store/storetest"
)

func TestMain(m *testing.M) {
	storetest.Play(opener)
	goleak.VerifyTestMain(m)
}
