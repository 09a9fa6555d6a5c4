package Catalog::Schema;

# Holds catalog files against the JSON Schemas in schema/. Called by check.

use strict;
use warnings;

use Exporter 'import';
use JSON::Validator;

our @EXPORT_OK = qw(schema_faults);

# Lines "FILE:LINE: PATH: what is wrong".
sub schema_faults {
    my ($schema_file, @files) = @_;
    my $validator = JSON::Validator->new->schema("file://$schema_file");
    my @faults;

    for my $file (@files) {
        for my $error ($validator->validate($file->{document})) {
            my ($path, $line) = place($file, $error->path);
            $line = $file->{lines}{"$path.$1"} // $line
                if $error->message =~ /not allowed: ([^,]+?)(?:,|\.$)/;
            push @faults, "$file->{name}:$line: $path: " . $error->message;
        }
    }
    return @faults;
}

# A JSON pointer as a path of Catalog::JSON, and the line of what is there: of
# what holds it, if it is missing itself.
sub place {
    my ($file, $pointer) = @_;
    my ($path, $value, $line) = ('', $file->{document}, 1);

    for my $part (map { s{~1}{/}gr =~ s/~0/~/gr } grep { length } split m{/}, $pointer) {
        $path .= ref $value eq 'ARRAY' ? "[$part]" : length $path ? ".$part" : $part;
        $value = ref $value eq 'ARRAY' ? $value->[$part] : ref $value eq 'HASH' ? $value->{$part} : undef;
        $line = $file->{lines}{$path} // $line;
    }
    return ($path, $line);
}

1;
