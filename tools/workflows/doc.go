// Package workflows holds the files in .github to the tree.
package workflows
