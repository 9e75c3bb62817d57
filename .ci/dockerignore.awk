# Of the paths on stdin, one a line, those that .dockerignore leaves in the build context:
#   find . -type f | sed 's|^\./||' | awk -f .ci/dockerignore.awk .dockerignore -
# As Docker reads it: the last pattern that matches a path, or a folder that it is in, decides; `!` takes it back in.
# `*` and `?` stop at a slash, `**` does not.

function expression(pattern,    i, c, made) {
  made = ""
  for (i = 1; i <= length(pattern); i++) {
    c = substr(pattern, i, 1)
    if (substr(pattern, i, 3) == "**/") { made = made "(.*/)?"; i += 2 }
    else if (substr(pattern, i, 2) == "**") { made = made ".*"; i++ }
    else if (c == "*") made = made "[^/]*"
    else if (c == "?") made = made "[^/]"
    else if (c == "\\") { i++; made = made "[" substr(pattern, i, 1) "]" }
    else if (c == "[" || c == "]") made = made c
    else if (index(".+(){}|^$", c)) made = made "\\" c
    else made = made c
  }
  return "^" made "(/.*)?$"
}

FILENAME == ARGV[1] {
  gsub(/^[ \t]+|[ \t\r]+$/, "")
  if ($0 == "" || $0 ~ /^#/) next
  keeps = sub(/^![ \t]*/, "")
  sub(/^(\.?\/)+/, "")
  sub(/\/+$/, "")
  rules++
  pattern[rules] = expression($0)
  kept[rules] = keeps
  next
}

{
  keep = 1
  for (i = 1; i <= rules; i++) if ($0 ~ pattern[i]) keep = kept[i]
  if (keep) print
}
