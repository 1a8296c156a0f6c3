/*
 * sql_text.h - PURE: a look at SQL that was written in an INI file.
 */
#ifndef PGBATON_COMMON_SQL_TEXT_H
#define PGBATON_COMMON_SQL_TEXT_H

/*
 * sql_text_line_comment - where a comment begins that goes to the end of its line (--), outside of
 * '...', E'...', "..." and the other kind of comment; NULL: nowhere. In an INI file such a comment
 * is never what was meant: the lines of a value are joined, so it takes in all that follows, a
 * WHERE for instance. What stands between $$ and $$ is looked at too: it is code most often.
 */
const char *sql_text_line_comment(const char *text);

#endif
