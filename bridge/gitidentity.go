package bridge

import "context"

// MethodSetGitIdentity tells the container in whose name its owner commits.
const MethodSetGitIdentity = "setGitIdentity"

// GitConfig is the name of the file with the GitIdentity, in the folder of LocalSocket. The image's configuration of git
// includes it, so that whatever the owner configures counts instead.
const GitConfig = "gitconfig"

// GitIdentity is who commits are by: in UTF-8, at most 200 bytes each, without control characters. What is empty is not set.
type GitIdentity struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// SetGitIdentityResult is the answer to MethodSetGitIdentity: nothing.
type SetGitIdentityResult struct{}

func (*SetGitIdentityResult) check() error { return nil }

// SetGitIdentity tells git in the container who commits are by, unless its owner has told it something else.
func (c *Client) SetGitIdentity(ctx context.Context, who GitIdentity) error {
	who.Name, who.Email = Printable(who.Name, 200), Printable(who.Email, 200)
	_, err := ask(ctx, c, MethodSetGitIdentity, 0, &who, (*SetGitIdentityResult).check)
	return err
}
