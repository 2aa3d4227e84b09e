package mongo

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/kalpana-dev/kalpana/workspace"
)

// settledPrefix keeps what is settled apart from the schema's document.
const settledPrefix = "settled/"

type settledDoc struct {
	Name  string `bson:"_id"`
	Value string `bson:"value"`
}

func (d settledDoc) read() (settledDoc, error) { return d, nil }

// Settle keeps value under name unless something is kept there already, and returns what is kept: of
// several gateways that settle the same, all get the same.
func (s *Store) Settle(ctx context.Context, name, value string) (string, error) {
	if _, err := s.insert(ctx, installation, settledDoc{settledPrefix + name, value}); err != nil {
		return "", err
	}
	kept, err := one[settledDoc](ctx, s, installation, bson.M{"_id": settledPrefix + name}, workspace.ErrStoreDown)
	return kept.Value, err
}
