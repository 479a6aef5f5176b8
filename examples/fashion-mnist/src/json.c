/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include "util.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* From the opening quote to behind the closing one; NULL: it never closes. */
static const char *skip_text(const char *at)
{
    for (at++; *at != '"'; at++) {
        if (*at == '\\' && at[1] != '\0')
            at++;
        if (*at == '\0')
            return NULL;
    }
    return at + 1;
}

/* The value of the outermost object's member. */
static const char *member(const char *text, const char *key, const char *path)
{
    size_t len = strlen(key);
    int depth = 0;
    for (const char *at = text; *at;) {
        if (*at != '"') {
            depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
            at++;
            continue;
        }
        const char *name = at + 1, *end = skip_text(at);
        if (!end)
            break;
        at = skip_blanks(end);
        if (depth == 1 && *at == ':' && (size_t)(end - 1 - name) == len &&
            memcmp(name, key, len) == 0)
            return skip_blanks(at + 1);
    }
    die("'%s' has no member \"%s\"", path, key);
}

double json_number(const char *text, const char *key, const char *path)
{
    const char *at = member(text, key, path);
    char *end = NULL;
    double v = strtod(at, &end);
    if (end == at)
        die("'%s': \"%s\" is not a number", path, key);
    return v;
}

char *json_text(const char *text, const char *key, const char *path)
{
    const char *at = member(text, key, path);
    const char *end = *at == '"' ? skip_text(at) : NULL;
    char *copy = end ? strndup(at + 1, (size_t)(end - at - 2)) : NULL;
    if (!copy)
        die("'%s': \"%s\" is not a string", path, key);
    return copy;
}

static bool take(const char **at, char c)
{
    const char *here = skip_blanks(*at);
    if (*here != c)
        return false;
    *at = here + 1;
    return true;
}

static bool take_row(const char **at, size_t columns, float *row)
{
    if (!take(at, '['))
        return false;
    for (size_t c = 0; c < columns; c++) {
        char *end = NULL;
        if (c > 0 && !take(at, ','))
            return false;
        row[c] = strtof(*at, &end);
        if (end == *at)
            return false;
        *at = end;
    }
    return take(at, ']');
}

float *json_table(const char *text, size_t columns, const char *path, size_t *ret_rows)
{
    size_t rows = 0, room = 1024;
    float *table = xcalloc(room, columns * sizeof(float));
    const char *at = text;
    bool more = take(&at, '[');
    while (more) {
        if (rows == room) {
            room *= 2;
            table = realloc(table, room * columns * sizeof(float));
            if (!table)
                die("out of memory for '%s'", path);
        }
        if (!take_row(&at, columns, table + rows * columns))
            die("'%s': row %zu is not a list of %zu numbers", path, rows + 1, columns);
        rows++;
        more = take(&at, ',');
    }
    if (rows == 0 || !take(&at, ']') || *skip_blanks(at) != '\0')
        die("'%s' is not a list of lists of numbers", path);
    *ret_rows = rows;
    return table;
}
