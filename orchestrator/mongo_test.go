package orchestrator_test

import (
	"testing"

	"github.com/kalpana-dev/kalpana/store/mongo/mongotest"
)

const onMongoDB = "TestOnMongoDB"

var mongoURI string // while TestOnMongoDB runs

// What several gateways promise must not depend on which store they share.
func TestOnMongoDB(t *testing.T) {
	mongoURI = mongotest.Start(t)
	for _, test := range []struct {
		name  string
		holds func(*testing.T)
	}{
		{"FiftyWakesOverTwoStartOnce", TestGateways_FiftyWakesOverTwoStartOnce},
		{"AStopOnOneIsAStopOnTheOther", TestGateways_AStopOnOneIsAStopOnTheOther},
		{"OneOperationAtATime", TestGateways_OneOperationAtATime},
		{"TheLeaseOfADeadOneBlocksForItsLifeOnly", TestGateways_TheLeaseOfADeadOneBlocksForItsLifeOnly},
		{"ALongOperationKeepsItsLease", TestGateways_ALongOperationKeepsItsLease},
		{"WhoLostTheLeaseChangesNothingMore", TestGateways_WhoLostTheLeaseChangesNothingMore},
		{"AStateThatAnotherWroteIsNotOverwritten", TestGateways_AStateThatAnotherWroteIsNotOverwritten},
		{"OnePausesOnlyWhatTheOtherDoesNotUse", TestGateways_OnePausesOnlyWhatTheOtherDoesNotUse},
		{"WhatOneSawTheOtherKnowsByTheRecord", TestGateways_WhatOneSawTheOtherKnowsByTheRecord},
		{"OneThatIsGoneIsNotWaitedFor", TestGateways_OneThatIsGoneIsNotWaitedFor},
		{"ARequestThatComesWhileTheyAgreeIsServed", TestGateways_ARequestThatComesWhileTheyAgreeIsServed},
		{"WhatBothFindIdleSleepsOnce", TestGateways_WhatBothFindIdleSleepsOnce},
		{"APauseOfOneIsKnownToTheOther", TestGateways_APauseOfOneIsKnownToTheOther},
		{"WhatOneWokeTheOtherFinds", TestGateways_WhatOneWokeTheOtherFinds},
		{"AStartOfOneThatIsKilledIsTakenOver", TestGateways_AStartOfOneThatIsKilledIsTakenOver},
	} {
		t.Run(test.name, test.holds)
	}
}
