package orchestrator_test

import (
	"fmt"
	"testing"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestExplain_LeavesTheWordsOfTheEnginesClientToTheLog(t *testing.T) {
	err := fmt.Errorf("the workspace could not be stopped: %w", fmt.Errorf(`%w (list networks: Get "http://%%2Fvar%%2Frun%%2Fdocker.sock/v1.41/networks": EOF)`, workspace.ErrEngineDown))
	const want = "The workspace could not be stopped: the container engine does not answer. Ask the operator to see that the container engine runs, then try again."
	if got := orchestrator.Explain(err); got != want {
		t.Errorf("got %q", got)
	}
}
