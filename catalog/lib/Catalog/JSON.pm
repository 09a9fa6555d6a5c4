package Catalog::JSON;

# A strict JSON reader that knows where things are. Called by Catalog::Tree for
# the catalog and by Catalog::Source::* for public data sets.
#
# Differs from JSON::PP in three ways that matter here: a name that occurs twice
# in one object is refused, the line of every value is kept, and a number with a
# fraction or an exponent stays the text that it was, so that no price ever goes
# through floating point.

use strict;
use warnings;

use Exporter 'import';
use JSON::PP ();

our @EXPORT_OK = qw(read_json read_text);

my $depth_max = 64;
my $integer_digits_max = 15;

# The bytes of a file, as text.
sub read_text {
    my ($path) = @_;

    open my $in, '<:raw', $path or die "$path: $!\n";
    my $text = do { local $/; <$in> };
    close $in;
    utf8::decode($text) or die "$path: not UTF-8\n";
    return $text;
}

# Returns the value; with $lines (a hash), fills in the line of each value, by
# its path: "models.NAME.offers[3].pricing". Dies with "$name:LINE: what".
sub read_json {
    my ($text, $name, $lines) = @_;
    my $self = {name => $name, lines => $lines, depth => 0, line => 1, counted => 0};

    for ($text) {
        pos() = 0;
        my $value = value($self, '');
        space($self);
        fault($self, 'text behind the value') if pos() < length;
        return $value;
    }
}

sub fault {
    my ($self, $what) = @_;
    die "$self->{name}:" . line($self) . ": $what\n";
}

sub line {
    my ($self) = @_;
    my $to = pos() // 0;

    $self->{line} += substr($_, $self->{counted}, $to - $self->{counted}) =~ tr/\n//;
    $self->{counted} = $to;
    return $self->{line};
}

sub space { /\G[ \t\r\n]+/gc; return }

# $_ is the text throughout, its pos() the place.
sub value {
    my ($self, $path) = @_;

    space($self);
    $self->{lines}{$path} = line($self) if $self->{lines};
    return object($self, $path) if /\G\{/gc;
    return array($self, $path) if /\G\[/gc;
    return string($self) if /\G"/gc;
    return number($1) if /\G(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?)/gc;
    return JSON::PP::true if /\Gtrue\b/gc;
    return JSON::PP::false if /\Gfalse\b/gc;
    return undef if /\Gnull\b/gc;
    return fault($self, 'expected a value');
}

sub enter {
    my ($self) = @_;
    fault($self, "nested more than $depth_max deep") if ++$self->{depth} > $depth_max;
    space($self);
    return;
}

sub object {
    my ($self, $path) = @_;
    my %object;

    enter($self);
    until (/\G\}/gc) {
        fault($self, 'expected a comma or a closing brace') if %object && !/\G,/gc;
        space($self);
        fault($self, 'expected a name') if !/\G"/gc;
        my $name = string($self);
        fault($self, qq("$name" occurs twice)) if exists $object{$name};
        space($self);
        fault($self, 'expected a colon') if !/\G:/gc;
        $object{$name} = value($self, length $path ? "$path.$name" : $name);
        space($self);
    }
    $self->{depth}--;
    return \%object;
}

sub array {
    my ($self, $path) = @_;
    my @array;

    enter($self);
    until (/\G\]/gc) {
        fault($self, 'expected a comma or a closing bracket') if @array && !/\G,/gc;
        push @array, value($self, "$path\[" . scalar(@array) . ']');
        space($self);
    }
    $self->{depth}--;
    return \@array;
}

my %escape = (b => "\b", f => "\f", n => "\n", r => "\r", t => "\t");

sub string {
    my ($self) = @_;
    my $string = '';

    until (/\G"/gc) {
        if (/\G([^"\\\x00-\x1f]+)/gc) { $string .= $1 }
        elsif (/\G\\(["\\\/])/gc) { $string .= $1 }
        elsif (/\G\\([bfnrt])/gc) { $string .= $escape{$1} }
        elsif (/\G\\u[dD]([89abAB]..)\\u[dD]([c-fC-F]..)/gc) {
            $string .= chr(0x10000 + ((hex("d$1") & 0x3ff) << 10) + (hex("d$2") & 0x3ff));
        }
        elsif (/\G\\u(?![dD][89a-fA-F])([0-9a-fA-F]{4})/gc) { $string .= chr hex $1 }
        else { fault($self, 'a text that does not end, or a wrong escape in it') }
    }
    return $string;
}

sub number {
    my ($text) = @_;
    return $text if $text =~ /[.eE]/ || length $text > $integer_digits_max;
    return 0 + $text;
}

1;
