// Package marked writes generated text between the marks of a document:
//
//	<!-- NAME: written by COMMAND -->
//	…
//	<!-- end of NAME -->
package marked

import (
	"fmt"
	"os"
	"strings"
)

// Replace puts text between the marks of name and command in the file at path. It fails if the file
// lacks one of the marks.
func Replace(path, name, command, text string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	first, last := "<!-- "+name+": written by "+command+" -->", "<!-- end of "+name+" -->"
	before, rest, began := strings.Cut(string(content), first)
	_, after, ended := strings.Cut(rest, last)
	if !began || !ended {
		return fmt.Errorf("%s holds no %q … %q", path, first, last)
	}
	return os.WriteFile(path, []byte(before+first+"\n\n"+text+"\n"+last+after), 0o644)
}
